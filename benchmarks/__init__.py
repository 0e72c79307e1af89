"""Models, measurements and the demo."""
