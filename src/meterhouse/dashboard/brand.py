"""A customer's colour on a usage page, changed as little as it takes to be seen on light and on dark."""

from __future__ import annotations

_LIGHT, _DARK = (255, 255, 255), (17, 21, 28)
"""The cards of the stylesheet, in the two modes."""
_CONTRAST = 4.5
"""What WCAG asks of text."""
_STEPS = 20


def stylesheet(color: str | None) -> str:
    """The stylesheet of a usage page. `color` is `#rrggbb`."""
    if color is None:
        return ""
    wanted = int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    light, dark = _variables(_readable(wanted, _LIGHT)), _variables(_readable(wanted, _DARK))
    return (
        f":root{{{light}}}\n"
        f':root[data-theme="dark"]{{{dark}}}\n'
        f'@media (prefers-color-scheme:dark){{:root[data-theme="auto"]{{{dark}}}}}\n'
    )


_Rgb = tuple[int, int, int]


def _variables(color: _Rgb) -> str:
    on = "#ffffff" if _contrast(color, (255, 255, 255)) >= _contrast(color, (0, 0, 0)) else "#000000"
    text = "#{:02x}{:02x}{:02x}".format(*color)
    return f"--accent:{text};--on-accent:{on}"


def _readable(color: _Rgb, background: _Rgb) -> _Rgb:
    """The colour, mixed with black or white until it stands out from the background."""
    towards = 0 if sum(background) > 382 else 255
    for step in range(_STEPS):
        mixed = tuple(part + (towards - part) * step // _STEPS for part in color)
        if _contrast((mixed[0], mixed[1], mixed[2]), background) >= _CONTRAST:
            return mixed[0], mixed[1], mixed[2]
    return towards, towards, towards


def _contrast(one: _Rgb, other: _Rgb) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: _Rgb) -> float:
    red, green, blue = (part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
