"""The letters in shape annotations, the same in every module and in einops patterns.

| letter | axis | unit |
|---|---|---|
| `b` | batch | items |
| `c` | channels of a waveform, or of any feature map inside a network | |
| `t` | time of a waveform, or of any feature map inside a network | samples |
| `d` | channels of latents | |
| `l` | time of latents, or tokens of a transformer | frames |
| `e` | width of an embedding | |
| `h` | attention heads | |
| `k` | tokens put before a sequence | |
| `q` | codebooks | |
| `*` | any number of leading axes | |

A shape of one axis starts with a space, `Float[Tensor, " b"]`, or type checkers read it as a name.
An axis that a function changes comes out with a number (`c2`, `t2`); letters that are not in the
table are explained where they are used.
"""
