"""A department's own service: the market regulator's register of enterprises, as a sample.

What a department runs itself and the platform calls: it knows the platform by the certificate of
the gateway and its callers by the headers that the gateway writes. Its data are made up.
"""
