"""From photos and captions to examples: sources, safe decoding, augmentation, masking, and drawn scenes."""
