"""Pretraining and SFT: one loop over packed documents, killed and resumed at any moment."""
