"""Code of a page that is run while the pages are built, with what it prints and the figure that it draws.

In a MyST page::

    ```{run}
    :alt: what the figure shows, for those who do not see it
    fig, axes = plot_strf_grid(...)
    print(scores.mean())
    ```

Blocks of a page share their names. A figure is what the block leaves in ``fig``, drawn for light and for dark pages.
With the option ``hide-code`` only output and figure are shown. The tests run these blocks too (``tests/docs``).
"""

import contextlib
import io
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.text import Text

FOLDER = "_made"
INK = "#ced6dd"  # the text of the theme on dark pages
DPI = 150


class Run(Directive):
    has_content = True
    option_spec = {  # noqa: RUF012
        "alt": directives.unchanged_required,
        "hide-code": directives.flag,
        "width": directives.unchanged_required,
    }

    def run(self):
        environment = self.state.document.settings.env
        page = environment.current_document
        namespace = page.setdefault("run_namespace", {})
        code, printed = "\n".join(self.content), io.StringIO()
        namespace.pop("fig", None)
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, f"{environment.docname}, line {self.lineno}", "exec"), namespace)
        except Exception as error:
            raise self.error(f"the code of this block fails: {type(error).__name__}: {error}") from error
        shown = [] if "hide-code" in self.options else [nodes.literal_block(code, code, language="python")]
        if "fig" in namespace:
            if "alt" not in self.options:
                raise self.error("a figure needs the option alt")
            page["run_count"] = page.get("run_count", 0) + 1
            name = f"{environment.docname.replace('/', '-')}-{page['run_count']}"
            shown += self._images(namespace["fig"], name, Path(environment.srcdir))
        if printed.getvalue():
            text = printed.getvalue().rstrip()
            shown.append(nodes.literal_block(text, text, language="text", classes=["output"]))
        return shown

    def _images(self, fig, name, source):
        (source / FOLDER).mkdir(exist_ok=True)
        images = []
        for look in ("light", "dark"):
            if look == "dark":
                for_dark_pages(fig)
            file = f"{FOLDER}/{name}-{look}.png"
            fig.savefig(source / file, dpi=DPI, transparent=True)
            images.append(
                nodes.image(
                    uri=f"/{file}",
                    alt=self.options["alt"],
                    classes=[f"only-{look}"],
                    width=self.options.get("width", "100%"),
                )
            )
        return [nodes.container("", *images, classes=["figure-of-code"])]


def for_dark_pages(fig):
    """Give everything that is drawn in black or dark grey the colour of text on dark pages."""
    for artist in fig.findobj(lambda artist: isinstance(artist, Text | Line2D)):
        if _is_dark(artist.get_color()):
            artist.set_color(INK)
            if isinstance(artist, Line2D):
                artist.set_markeredgecolor(INK)
                artist.set_markerfacecolor(INK)
    for axes in fig.axes:
        axes.tick_params(which="both", color=INK, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
        for legend in filter(None, [axes.get_legend()]):
            legend.get_frame().set_facecolor("none")


def _is_dark(colour):
    rgb = to_rgb(colour) if colour != "none" else (1.0,)
    return max(rgb) < 0.5 and max(rgb) - min(rgb) < 0.1


def setup(app):
    app.add_directive("run", Run)
    return {"parallel_read_safe": True}
