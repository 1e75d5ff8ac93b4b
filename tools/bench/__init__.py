"""Benchmarks of deliveries on real parts: speed and memory; see docs/performance.md."""

import sys
from pathlib import Path

# Airflow adds this folder to the path of its own processes. The bench is no such process.
sys.path.append(str(Path(__file__).resolve().parents[2] / "plugins"))
