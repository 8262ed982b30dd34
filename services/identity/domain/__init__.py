"""Rules of identity; pure: no database, no cryptography, no HTTP."""
