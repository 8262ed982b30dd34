"""What transfer does. Each action fills a transaction that the edge opened."""
