"""The platform's services; one package per authority. They never import each other."""
