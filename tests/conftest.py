"""What every test runs under; imported before any test and before anything of seqmodels.

Eight simulated CPU devices, so that a mesh can have any number up to that many
(``jax.devices()[:n]``); shape and type annotations checked at run time; no
implicit rank promotion; nothing read from or written to a compilation cache.
All of it is set in this process and not in the environment: a script that a test
starts finds the machine as a user's would.
"""

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_enable_compilation_cache", False)

install_import_hook("seqmodels", "beartype.beartype")
