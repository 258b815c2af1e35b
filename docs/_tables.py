"""Tables made from the registries while the docs are built: a registered class is listed without further work.

In a MyST page::

    ```{registry-table} datasets
    ```
"""

from dataclasses import asdict

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from deepSTRF.registry import dataset_cards, get_recipe, model_cards


class RegistryTable(Directive):
    required_arguments = 1

    def run(self):
        kind = self.arguments[0]
        if kind == "datasets":
            rows = [asdict(card) for card in dataset_cards().values()]
        elif kind == "models":
            rows = [asdict(card) | {"defaults": _settings(get_recipe(name))} for name, card in model_cards().items()]
        else:
            raise self.error(f"registry-table knows datasets and models, not {kind!r}")
        columns = list(rows[0])
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for cells in ([column.replace("_", " ") for column in columns], *[[row[c] for c in columns] for row in rows]):
            lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)]
        node = nodes.Element()
        self.state.nested_parse(StringList(lines), self.content_offset, node)
        return node.children


def _settings(recipe):
    if recipe.settings is None:
        return "closed form"
    return ", ".join(f"{name} {value}" for name, value in asdict(recipe.settings).items())


def setup(app):
    app.add_directive("registry-table", RegistryTable)
    return {"parallel_read_safe": True}
