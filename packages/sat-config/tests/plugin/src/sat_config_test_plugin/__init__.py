"""Types from outside. Silent unless SAT_TEST_PLUGIN asks for them: it lies where all tests run."""
