"""CS-Flow (Rudolph et al., WACV 2022): the cross-scale normalizing flow."""
