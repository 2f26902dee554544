"""A trained model as files: folders, checkpoints, zips, nnU-Net's models."""
