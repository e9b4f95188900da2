"""The same network behind other servers, as their own documentation writes it: one model process a core."""
