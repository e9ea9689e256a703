"""From photos and captions to training examples: sources, safe decoding, preprocessing, augmentation, masking, drawn scenes."""
