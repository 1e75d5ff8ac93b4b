"""Evidence for rows in doubt: look for their links in the applicant tracking systems."""
