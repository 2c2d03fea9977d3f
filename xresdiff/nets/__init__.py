"""Mathematics in torch: the U-Net, its EDM preconditioning, the samplers, the rain transforms.

Nothing in this room knows a label, a unit or a file. Tensors are ``(b, c, y, x)``.
"""
