"""A product line that is drawn: good parts, four kinds of defects, masks."""

from csflow.runtime.synthetic.product import render_part

__all__ = ["render_part"]
