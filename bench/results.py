"""What a run found: samples and failures of every peer, and their JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.columns import COLUMNS, Column
from bench.peers import PEERS


@dataclass
class Results:
    """Samples by peer and name, failures by peer and measure."""

    machine: Mapping[str, str]
    peers: Sequence[str]
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, peer: str, samples: Mapping[str, Sequence[float]]) -> None:
        """Pool `samples` with those of earlier rounds."""
        mine = self.samples.setdefault(peer, {})
        for name, values in samples.items():
            mine.setdefault(name, []).extend(values)

    def fail(self, peer: str, measure: str, error: Exception) -> None:
        """Note that `measure` could not be taken, and why."""
        reason = f"{error}" if str(error) else type(error).__name__
        self.failures.setdefault(peer, {}).setdefault(measure, []).append(reason)

    def figure(self, peer: str, column: Column) -> float | None:
        """Return the figure for the table, or None when there is no sample."""
        values = self.samples.get(peer, {}).get(column.samples)
        return column.pick(values) if values else None

    def failed(self, peer: str, column: Column) -> list[str]:
        """Return the reasons for which the column's measure failed, one per failed round."""
        return self.failures.get(peer, {}).get(column.measure, [])

    def columns(self) -> list[Column]:
        """Return the columns that this run has anything to say about."""
        return [
            column
            for column in COLUMNS
            if any(self.figure(peer, column) is not None or self.failed(peer, column) for peer in self.peers)
        ]

    def write_json(self, path: Path) -> None:
        """Write everything, with the figures of the table beside their samples."""
        peers = {
            peer: {
                "label": PEERS[peer].label,
                "figures": {column.heading: self.figure(peer, column) for column in self.columns()},
                "failures": self.failures.get(peer, {}),
                "samples": {
                    name: [round(value, 4) for value in values] for name, values in self.samples.get(peer, {}).items()
                },
            }
            for peer in self.peers
        }
        document = {"machine": dict(self.machine), "peers": peers}
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
