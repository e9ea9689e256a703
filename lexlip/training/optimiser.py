"""AdamW with parameter groups, and the learning-rate schedule."""

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from lexlip.model.lexlip import LexLIP
from lexlip.model.towers import TwoTowers
from lexlip.training.phases import OptimiserSettings, Phase

BETAS = (0.9, 0.98)  # as CLIP and LexLIP-like models are trained; 0.999 is slow to forget early gradients


def freeze(model: TwoTowers, phase: Phase) -> None:
    """Lets learn what the phase lets learn, and nothing else."""
    model.requires_grad_(True)
    named = dict(model.image_tower.backbone.named_parameters())
    for stage in model.image_tower.stages()[: phase.frozen_image_stages]:
        for name in stage:
            named[name].requires_grad_(False)
    for layer in model.text_tower.layers()[: phase.frozen_text_layers]:
        layer.requires_grad_(False)


def set_training_mode(model: TwoTowers, phase: Phase) -> None:
    """Training mode; batch norms of frozen statistics and towers that are remembered stay in evaluation mode."""
    model.train()
    if phase.remember_towers:
        model.image_tower.eval()
        model.text_tower.eval()
    if phase.freeze_batch_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def make_optimiser(model: TwoTowers, settings: OptimiserSettings) -> AdamW:
    """AdamW over four groups: towers and heads, each with and without weight decay.

    Norms, biases, embeddings, class tokens and tables of positions have none; projections that are copies do.
    The heads' projections are the word embeddings or copies of them, and learn at the towers' rate.
    """
    undecayed = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    positions = model.image_tower.without_decay()
    undecayed |= {id(value) for name, value in model.image_tower.backbone.named_parameters() if name in positions}
    towers = {id(parameter) for tower in (model.image_tower, model.text_tower) for parameter in tower.parameters()}
    if isinstance(model, LexLIP):
        towers |= {id(head.projection) for head in (model.image_head, model.text_head)}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and id(parameter) not in undecayed
            groups.setdefault((id(parameter) in towers, decays), []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": settings.tower_rate if tower else settings.head_rate,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for (tower, decays), parameters in groups.items()
        ],
        betas=BETAS,
    )


def make_schedule(optimiser: AdamW, settings: OptimiserSettings, steps: int) -> LambdaLR:
    """Linear warm-up over `warmup_share` of `steps`, then linear decay to zero."""
    warmup = max(1, round(settings.warmup_share * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (steps - step) / max(1, steps - warmup))

    return LambdaLR(optimiser, factor)
