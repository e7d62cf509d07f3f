"""``log.jsonl`` of runs, results and timelines: every line says of which config, data, seed and levels it is."""

from pathlib import Path

from structlog.typing import FilteringBoundLogger

from conv2d.config import Config
from conv2d.logging.structured import bind_run, log_fsq_config, setup_logging

LOG = "log.jsonl"


def begin_log(folder: Path, config: Config, *, data_sha256: str, seed: int) -> FilteringBoundLogger:
    """Begin the log in a folder, or go on with it, and say how codes are made; returns its logger.

    ``config_hash``, ``seed``, ``data_hash`` and ``levels`` (null without quantisation) stand in every line.
    """
    logger = setup_logging(name="conv2d", output_file=folder / LOG)
    quantization = config.model.architecture.quantization
    levels = list(quantization.levels) if quantization.type == "fsq" else None
    bind_run(config_hash=config.sha256(), seed=seed, data_hash=data_sha256, levels=levels)
    if levels is not None:
        log_fsq_config(levels, quantization.embedding_dim, quantization.codebook_size)
    return logger
