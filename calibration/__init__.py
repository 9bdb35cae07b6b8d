"""Score calibration: thresholds from good parts, with the bound they can honestly give. Needs numpy alone."""
