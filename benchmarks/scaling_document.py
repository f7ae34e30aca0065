"""Puts the tables of scaling.py's folders into docs/scaling.md.

python benchmarks/scaling_document.py --folder=scaling --name=cpu --document=docs/scaling.md
"""

from absl import flags
from document import replace_table
from scaling_tables import markdown

from seqmodels import cli
from seqmodels.errors import UserError
from seqmodels.training.workdir import Workdir

FOLDER = flags.DEFINE_string("folder", None, "folder of a finished scaling.py")
NAME = flags.DEFINE_string("name", None, "which tables of the document")
DOCUMENT = flags.DEFINE_string("document", None, "the Markdown file whose tables are replaced")


def main() -> None:
    """Reads the folder and writes its tables."""
    folder, name, document = map(cli.require_flag, (FOLDER, NAME, DOCUMENT))
    results = Workdir(folder).read("scaling.json")
    if results is None:
        raise UserError(f"--folder={folder} holds no scaling.json; run scaling.py first")
    machine = results["machine"]
    head = (
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB; "
        f"Python {machine['python']}, jax {machine['jax']}."
    )
    if results["target"] is not None:
        mesh = f", `{results['mesh']}`" if results.get("mesh") else ""
        head = f"`{results['target']}`{mesh}, jax {machine['jax']}."
    replace_table(document, name, f"{head}\n\n{markdown(results)}")


if __name__ == "__main__":
    cli.run(main)
