"""Makes pictures of a browser small: 256 colours, packed as well as zlib can.

The browser itself takes the picture apart, so nothing else is needed to read PNG.
"""

import base64
import struct
import zlib
from typing import Any

# The most frequent colours that differ from each other; each pixel becomes the nearest of them.
_TAKE_APART = """async (url) => {
  const image = await createImageBitmap(await (await fetch(url)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const colours = [...counts].sort((a, b) => b[1] - a[1]).map(([pixel]) => pixel);
  const split = (one) => [one & 255, (one >> 8) & 255, (one >> 16) & 255];
  const far = ([r, g, b], [x, y, z]) => (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
  const palette = [];
  for (const one of colours.map(split)) {
    if (palette.length < 256 && palette.every((other) => far(one, other) > 40)) palette.push(one);
  }
  const nearest = new Map(colours.map((colour) => {
    const one = split(colour);
    let best = 0, least = Infinity;
    palette.forEach((other, at) => {
      const distance = far(one, other);
      if (distance < least) [best, least] = [at, distance];
    });
    return [colour, best];
  }));
  const places = Uint8Array.from(pixels, (pixel) => nearest.get(pixel));
  let text = "";
  for (let at = 0; at < places.length; at += 32768)
    text += String.fromCharCode(...places.subarray(at, at + 32768));
  return [image.width, image.height, palette.flat(), btoa(text)];
}"""


def shrink(page: Any, png: bytes) -> bytes:
    """Return the picture with at most 256 colours.

    Args:
        page: a page of the browser that may load `data:` addresses: an empty one.
        png: the picture.
    """
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    width, height, palette, places = page.evaluate(_TAKE_APART, url)
    pixels = base64.b64decode(places)
    rows = (b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    packed = zlib.compress(b"".join(rows), 9)
    chunks = ((b"IHDR", head), (b"PLTE", bytes(palette)), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
