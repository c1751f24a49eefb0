"""Faces over the domains' api rooms: the self-contained HTML report that `sciai demo` writes."""
