"""How well a scorer agrees with people, and prompts that agree better.

People rate (python -m hpedit rate), or their ratings are imported; then a scorer is compared with them, its prompts are
refined, and later it is watched for drift:

  python -m hpedit calibrate import ratings.csv csv --data cases.parquet
  python -m hpedit calibrate agreement rated.parquet --config scorer/vllm.yaml
  python -m hpedit calibrate refine rated.parquet v2 --config scorer/vllm.yaml
  python -m hpedit calibrate drift anchor.parquet --config scorer/vllm.yaml

docs/calibration.md leads from ratings to a new version of the prompts.
"""

try:
    from hpedit.calibration.commands import agreement, drift
    from hpedit.calibration.import_command import import_ratings
    from hpedit.calibration.refine_command import refine
except ModuleNotFoundError as error:
    raise ValueError(f"calibrate needs the extra: pip install 'hpedit[calibrate]' ({error})") from error

COMMAND = {"agreement": agreement, "import": import_ratings, "drift": drift, "refine": refine}
