"""Networks and the parts they are made of: encoders, quantizers, heads (torch), and kernel baselines."""
