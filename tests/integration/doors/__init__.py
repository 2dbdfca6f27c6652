"""Every door against one table: the same verdict, receipt and record whatever way an event takes."""
