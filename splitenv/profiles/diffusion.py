"""MACs of the three components of Stable Diffusion, from the public model configurations.

Convolutions, linear layers and the two products of attention are counted; normalisation,
activations and the scheduler are not. ``weights`` counts the parameters of what is counted, so
that a test can hold the structure against the published model sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TOKENS = 77
TIME_WIDTH = 1280


@dataclass
class Cost:
    """Running totals of one component."""

    macs: int = 0
    weights: int = 0

    def linear(self, width_in: int, width_out: int, positions: int, kernel: int = 1) -> None:
        """Add a linear layer or a square convolution at ``positions`` output positions."""
        self.weights += width_in * width_out * kernel**2
        self.macs += width_in * width_out * kernel**2 * positions

    def attention(self, width: int, context: int, queries: int, keys: int) -> None:
        """Add projections and the two matrix products of one attention layer."""
        self.linear(width, width, queries)
        self.linear(context, 2 * width, keys)
        self.linear(width, width, queries)
        self.macs += 2 * queries * keys * width

    def resnet(self, width_in: int, width: int, positions: int, timed: bool) -> None:
        """Add a residual block; ``timed`` ones take the time embedding."""
        self.linear(width_in, width, positions, kernel=3)
        self.linear(width, width, positions, kernel=3)
        if timed:
            self.linear(TIME_WIDTH, width, 1)
        if width_in != width:
            self.linear(width_in, width, positions)

    def transformer(self, width: int, depth: int, context: int, positions: int) -> None:
        """Add a spatial transformer: self-attention, cross-attention, gated feed-forward."""
        if not depth:
            return
        self.linear(width, width, positions)
        for _ in range(depth):
            self.attention(width, width, positions, positions)
            self.attention(width, context, positions, TOKENS)
            self.linear(width, 8 * width, positions)
            self.linear(4 * width, width, positions)
        self.linear(width, width, positions)


@dataclass(frozen=True)
class Config:
    """What the public configuration files say about one model."""

    image_side: int
    context: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    mid_depth: int
    text: tuple[tuple[int, int], ...]
    extra_embedding: int = 0
    vae_widths: tuple[int, ...] = field(default=(128, 256, 512, 512))

    @property
    def latent_side(self) -> int:
        """Side of the latent: an eighth of the image's."""
        return self.image_side // 8


_SD_WIDTHS = (320, 640, 1280, 1280)
CONFIGS = {
    "stable-diffusion-1.5": Config(512, 768, _SD_WIDTHS, (1, 1, 1, 0), 1, ((12, 768),)),
    "stable-diffusion-2.1-base": Config(512, 1024, _SD_WIDTHS, (1, 1, 1, 0), 1, ((23, 1024),)),
    "sdxl-1.0": Config(
        1024, 2048, _SD_WIDTHS[:3], (0, 2, 10), 10, ((12, 768), (32, 1280)), extra_embedding=2816
    ),
}


def unet(config: Config) -> Cost:
    """One U-Net call for one image: half of a guided step."""
    cost, side, width = Cost(), config.latent_side, config.widths[0]
    for width_in in (width, config.extra_embedding):
        if width_in:
            cost.linear(width_in, TIME_WIDTH, 1)
            cost.linear(TIME_WIDTH, TIME_WIDTH, 1)
    cost.linear(4, width, side**2, kernel=3)
    skips = [width]
    for level, (out, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        for _ in range(2):
            cost.resnet(width, out, side**2, timed=True)
            cost.transformer(out, depth, config.context, side**2)
            width = out
            skips.append(width)
        if level < len(config.widths) - 1:
            side //= 2
            cost.linear(width, width, side**2, kernel=3)
            skips.append(width)
    cost.resnet(width, width, side**2, timed=True)
    cost.transformer(width, config.mid_depth, config.context, side**2)
    cost.resnet(width, width, side**2, timed=True)
    for level, (out, depth) in reversed(
        list(enumerate(zip(config.widths, config.depths, strict=True)))
    ):
        for _ in range(3):
            cost.resnet(width + skips.pop(), out, side**2, timed=True)
            cost.transformer(out, depth, config.context, side**2)
            width = out
        if level:
            side *= 2
            cost.linear(width, width, side**2, kernel=3)
    cost.linear(width, 4, side**2, kernel=3)
    return cost


def vae_decoder(config: Config) -> Cost:
    """Latent to image, for one image."""
    cost, side = Cost(), config.latent_side
    width = config.vae_widths[-1]
    cost.linear(4, 4, side**2)
    cost.linear(4, width, side**2, kernel=3)
    cost.resnet(width, width, side**2, timed=False)
    cost.attention(width, width, side**2, side**2)
    cost.resnet(width, width, side**2, timed=False)
    for level, out in enumerate(reversed(config.vae_widths)):
        for _ in range(3):
            cost.resnet(width, out, side**2, timed=False)
            width = out
        if level < len(config.vae_widths) - 1:
            side *= 2
            cost.linear(width, width, side**2, kernel=3)
    cost.linear(width, 3, side**2, kernel=3)
    return cost


def text_encoder(config: Config) -> Cost:
    """One prompt of 77 tokens through the text encoder, or through both of SDXL's."""
    cost = Cost()
    for layers, width in config.text:
        for _ in range(layers):
            cost.attention(width, width, TOKENS, TOKENS)
            cost.linear(width, 4 * width, TOKENS)
            cost.linear(4 * width, width, TOKENS)
    return cost
