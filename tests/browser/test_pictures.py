"""The pictures of the documentation: what makes them, and that they are there."""

import re
import struct
from pathlib import Path
from typing import Any

from tests.browser.pictures import PAGES, PICTURES, THEMES, take_top
from tests.browser.small_png import shrink

FRAME = """<style>body{margin:0;background:#fff}div{width:20px;height:20px;background:#cc2211}
</style><div></div>"""


def colours(page: Any, png: bytes) -> Any:
    """Colours of two points, as the browser reads them."""
    return page.evaluate(
        """async (bytes) => {
          const blob = new Blob([new Uint8Array(bytes)], {type: "image/png"});
          const image = await createImageBitmap(blob);
          const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
          canvas.drawImage(image, 0, 0);
          const at = (x, y) => [...canvas.getImageData(x, y, 1, 1).data];
          return [image.width, image.height, at(5, 5), at(50, 50)];
        }""",
        list(png),
    )


def test_a_small_picture_has_the_size_and_the_colours_of_the_large_one(chromium: Any) -> None:
    page = chromium.new_page(viewport={"width": 100, "height": 60})
    page.set_content(FRAME)
    png = page.screenshot()
    small = shrink(page, png)
    assert colours(page, small) == [100, 60, [0xCC, 0x22, 0x11, 255], [255, 255, 255, 255]]
    assert colours(page, png) == colours(page, small)
    page.close()


def test_all_pictures_are_there_and_small() -> None:
    files = [PICTURES / f"{name}-{theme}.png" for name in PAGES for theme in THEMES]
    for file in files:
        assert struct.unpack(">II", file.read_bytes()[16:24]) == (1440, 900)
        assert file.stat().st_size < 150_000
    assert {*PICTURES.iterdir()} == {*files, PICTURES / "top.svg"}


def test_the_terminal_is_drawn_without_asking_another_machine(tmp_path: Path) -> None:
    svg = take_top(tmp_path).read_text(encoding="utf-8")
    assert "Lanes" in svg
    assert set(re.findall(r"https?://[^\"') ]*", svg)) == {"http://www.w3.org/2000/svg"}
