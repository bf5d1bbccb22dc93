"""What the explorer's page holds of a density: all that it computes from, as plain values."""

import base64
from typing import Any

import numpy as np

from harmonium.data.marginal import Marginal
from harmonium.data.own_bodies import OwnBody
from harmonium.errors import InvalidInputError, describe
from harmonium.inference import Density
from harmonium.model import Harmonium, MixtureBase
from harmonium.model.feature_maps import MLP, Affine, FourierFeatures, Identity, ResidualMLP
from harmonium.report.words import cell_texts, percent

Plain = dict[str, Any]

# Between these ends of u, at so many knots, the page interpolates numbers of a column.
FARTHEST, N_KNOTS = 6.0, 193


def describe_density(density: Density) -> Plain:
    """Columns, whitening, model and log Z; arrays as base64.

    Raises `InvalidInputError` for a feature map or marginals of the user's own, which only Python
    can run.
    """
    whitening, log_partition = density.coordinates.whitening, density.log_partition
    return {
        "columns": [_column(density, j) for j in range(density.columns.n_modeled)],
        "whitening": {
            "center": packed(whitening.center),
            "matrix": packed(whitening.matrix),
            "inverse": packed(whitening.inverse_matrix),
            "logDet": whitening.log_det,
        },
        "logPartition": {"value": log_partition.value},
        "model": _model(density),
        "components": _component_names(density.model),
    }


def packed(array: Any, dtype: str = "f64") -> Plain:
    """An array as base64 of little-endian numbers, float64 or float32."""
    numbers = np.ascontiguousarray(array, {"f64": "<f8", "f32": "<f4"}[dtype])
    return {"type": dtype, "data": base64.b64encode(numbers.tobytes()).decode("ascii")}


def steps_of(feature_map: Any) -> list[Plain] | None:
    """A feature map as steps that the page can run; None for a map that is not one of ours."""
    if type(feature_map) is Identity:
        return []
    if type(feature_map) is Affine:
        return [_linear("linear", feature_map.matrix, feature_map.offset)]
    if type(feature_map) is MLP:
        steps = [{"step": "scale", "by": feature_map.input_scale}]
        for layer in feature_map.layers:
            steps.append(_linear("linear", layer.weight, layer.bias))
            steps.append({"step": "activation", "name": feature_map.activation})
        return steps
    if type(feature_map) is ResidualMLP:
        return _residual_steps(feature_map)
    if type(feature_map) is FourierFeatures:
        head = [] if feature_map.head is None else steps_of(feature_map.head)
        waves = {"step": "waves", "weight": packed(feature_map.frequencies, "f32")}
        return None if head is None else [waves, *head]
    return None


def _residual_steps(feature_map: ResidualMLP) -> list[Plain]:
    lift, name = feature_map.lift, feature_map.activation
    return [
        {"step": "scale", "by": feature_map.input_scale},
        _linear("linear", lift.weight, lift.bias),
        {"step": "activation", "name": name},
        *(
            _linear("residual", block.weight, block.bias) | {"name": name}
            for block in feature_map.blocks
        ),
        *([{"step": "activation", "name": "tanh"}] if feature_map.is_bounded else []),
    ]


def _linear(step: str, weight: Any, bias: Any) -> Plain:
    bias = np.zeros(weight.shape[0]) if bias is None else bias
    return {"step": step, "weight": packed(weight, "f32"), "bias": packed(bias, "f32")}


def _model(density: Density) -> Plain:
    model = density.model
    # Of a model that is its base nothing of the map is needed.
    steps = steps_of(model.feature_map) if density.has_residual else []
    if steps is None:
        raise InvalidInputError(
            describe(
                "write_explorer(path, density)",
                expected="a feature map of harmonium's own, which the page can compute",
                got=f"{type(model.feature_map).__name__}, which runs in Python alone",
                hint="the functions of harmonium.plot, which draw any model",
            )
        )
    return {
        "visibleBias": packed(model.visible_bias, "f32"),
        "hiddenBias": packed(model.hidden_bias, "f32"),
        "weights": packed(model.weights if density.has_residual else np.zeros(0), "f32"),
        "units": type(model.hidden_units).__name__,
        "hasResidual": density.has_residual,
        "base": _base(model),
        "steps": steps,
    }


def _base(model: Harmonium) -> Plain | None:
    """The mixture of the base; None for N(0, I/2)."""
    if not isinstance(model.base, MixtureBase):
        return None
    mixture = model.base.mixture
    lower = np.tril_indices(mixture.n_visible)
    return {
        "logWeights": packed(mixture.log_weights, "f32"),
        "means": packed(mixture.means, "f32"),
        "inverses": packed(np.asarray(mixture.inverses)[:, lower[0], lower[1]], "f32"),
    }


def _component_names(model: Harmonium) -> list[str]:
    if not isinstance(model.base, MixtureBase):
        return []
    shares = np.exp(np.asarray(model.base.mixture.log_weights, np.float64))
    return [f"{k + 1} ({percent(float(share))})" for k, share in enumerate(shares)]


def _column(density: Density, j: int) -> Plain:
    """One modeled column: its name, its marginal, and where its cells may lie."""
    coordinates = density.coordinates
    part, field = coordinates.marginals.parts[j], _field(density, j)
    levels = part.atoms[:, None] if part.body is None else np.zeros((0, 1))
    return {
        "name": field.name,
        "isDate": field.form == "datetime",
        "labels": [row[0] for row in cell_texts(levels, (field,))],
        "fine": bool(coordinates.fine[j]),
        "lowest": float(coordinates.lowest[j]),
        "highest": float(coordinates.highest[j]),
        **_marginal(part),
    }


def _field(density: Density, j: int) -> Any:
    return density.columns.fields[density.columns.modeled_index[j]]


def _marginal(part: Marginal) -> Plain:
    body, shape = part.body, part.shape
    if isinstance(body, OwnBody):
        raise InvalidInputError(
            describe(
                "write_explorer(path, density)",
                expected="marginals of harmonium's own, which the page can compute",
                got=f"{body.kind}, which runs in Python alone",
                hint="the functions of harmonium.plot, which draw any model",
            )
        )
    return {
        "body": None
        if body is None
        else {
            "location": body.location,
            "scale": body.scale,
            "tail": body.tail,
            "weights": body.weights.tolist(),
            "means": body.means.tolist(),
            "sds": body.sds.tolist(),
            "middle": body.median,
        },
        "atoms": part.atoms.tolist(),
        "masses": part.masses.tolist(),
        "inverse": None if body is None else _inverse(part),
        "step": shape.step,
        "offset": shape.offset,
        "decimals": shape.decimals,
        "sign": shape.sign,
        "bound": None if shape.sign == 0 else shape.bound,
    }


def _inverse(part: Marginal) -> Plain:
    numbers = part.numbers(np.linspace(-FARTHEST, FARTHEST, N_KNOTS))
    return {"farthest": FARTHEST, "numbers": packed(numbers)}
