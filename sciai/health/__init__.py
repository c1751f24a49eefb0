"""The virtual human: one joint distribution over a body, asked any question."""
