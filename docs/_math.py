"""Equations as MathML, which browsers draw themselves: no script, and no network when pages are read from a disk."""

from docutils import nodes
from latex2mathml.converter import convert


def _inline(translator, node):
    translator.body.append(_converted(_readable(node), "inline"))
    raise nodes.SkipNode


def _block(translator, node):
    code = _readable(node).replace("{aligned}", "{split}")  # which the converter knows
    if ("&" in code or r"\\" in code) and r"\begin" not in code:
        code = rf"\begin{{split}}{code}\end{{split}}"
    translator.body.append(f"<div class=math>{_converted(code, 'block')}</div>")
    raise nodes.SkipNode


def _readable(node):
    return node.astext().strip().replace(r"\_", "_")  # names of functions are in \text, where the converter keeps it


def _converted(code, display):
    mathml = convert(code, display=display)
    if "\\" in mathml or "&</" in mathml:
        raise ValueError(f"an equation has a command that is not known: {code}")
    return mathml


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True}
