"""Faces, side by side with those of another relay."""
