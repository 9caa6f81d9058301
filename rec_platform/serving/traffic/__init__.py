"""Who is answered by which model: experiments, canaries, shadows, and the changes between them."""
