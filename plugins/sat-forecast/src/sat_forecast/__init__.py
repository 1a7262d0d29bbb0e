"""Traffic forecasting: the next readings of road detectors from the last ones.

A family of models that sat knows nothing of. Importing `sat_forecast.schema` registers its
configuration; the modules that need torch register builders when something is to be built.
"""
