"""The entry point of the plug-in that works."""

import os

if "good" in os.environ.get("SAT_TEST_PLUGIN", ""):
    import sat_config_test_plugin.nodes  # noqa: F401 - registers
