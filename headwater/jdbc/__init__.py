"""What reading databases needs: sessions, the differences between engines, and PostgreSQL's change log."""
