"""The name "miniature" stands for the folder that ships with the package; nothing else is touched."""

from hpedit.editors.qwen_image_edit_plus import QwenImageEditPlusEditor
from hpedit.editors.shipped import checkpoint_folder, resolve_model


def test_miniature_is_the_shipped_folder():
    assert QwenImageEditPlusEditor("miniature").model == str(checkpoint_folder())
    assert checkpoint_folder().is_dir()


def test_other_models_stay_as_they_are():
    for model in ("Qwen/Qwen-Image-Edit-2509", "./miniature", "miniature/x"):
        assert resolve_model(model) == model
