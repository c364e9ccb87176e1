"""``python -m hpedit calibrate``: how well a scorer agrees with people, and prompts that agree better."""

try:
    from hpedit.calibration.commands import agreement, drift, import_ratings
    from hpedit.calibration.refine_command import refine
except ModuleNotFoundError as error:
    raise ValueError(f"calibrate needs the extra: pip install 'hpedit[calibrate]' ({error})") from error

COMMAND = {"agreement": agreement, "import": import_ratings, "drift": drift, "refine": refine}
