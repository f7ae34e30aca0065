"""What does each architecture cost, and how does the cost grow with the length?

seqmodels scaling --config=scaling --workdir=scaling

Not a run but a table: a cell for each mixer and length, of a language model on bytes of two blocks
of width 64. The default takes about half an hour on 2 cores; docs/scaling.md has its result.
On to a million: --config.lengths=65536,1048576 --config.limits.seconds=1200.
"""

from ml_collections import ConfigDict

from seqmodels import read_arguments


def get_config(arg: str = "") -> ConfigDict:
    """No arguments; every key can be set on the command line."""
    read_arguments(arg)
    config = ConfigDict()
    # Presets (seqmodels/presets.py); plain is global attention with all scores at once, newton an
    # rnn by Newton's method, up to width=32.
    config.mixers = ("rnn", "lstm", "gru", "conv", "local", "global", "transformer")
    config.lengths = (256, 512, 1024, 2048, 4096, 8192, 16_384)
    config.width = 64
    config.depth = 2  # blocks
    config.dtype = "float32"  # or bfloat16, which the attention kernels of GPUs need
    config.batch_size = 1  # sequences on each device
    config.tokens = 0  # of a step on each device: its batch is tokens / length; 0 keeps batch_size
    config.repeats = 7  # measurements of each time; the median, the lowest and the highest count
    config.from_length = 2048  # exponents are fitted to this length and longer ones
    config.limits = {
        "memory_gib": 12.0,  # of a cell's process; with a target the device's own memory counts
        "seconds": 300.0,  # of a whole cell, with compilation
    }
    config.quality = {  # --quality: what each cell is trained for
        "steps": 300,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "examples": 256,  # of validation, and as many of test
        "longest": 1024,  # longer cells aren't trained
        "seconds": 1800.0,  # of one training
    }
    return config.lock()
