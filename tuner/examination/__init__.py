"""The doctor: data and model before training, and logs of trainings made elsewhere."""
