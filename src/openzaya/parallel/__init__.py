"""Many ranks, one result: FSDP2, expert and context parallelism, applied from outside the model."""
