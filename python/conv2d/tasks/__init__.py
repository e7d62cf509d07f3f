"""Kinds of work, each a folder behind the protocol ``conv2d.training.task.Task``; none knows another."""
