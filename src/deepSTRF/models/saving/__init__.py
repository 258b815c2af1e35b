"""Saved models: a folder with weights and configuration, the Hugging Face Hub, and graphs without Python."""
