"""featlab's own plugins: they use the public API alone, and register like anyone's."""
