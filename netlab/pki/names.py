"""Whether a certificate is for a name (RFC 9525): subjectAltName alone counts, the subject never does."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names and addresses in its subjectAltName, as text."""
    found = _alternatives(certificate)
    if found is None:
        return ()
    addresses = [str(one) for one in found.get_values_for_type(x509.IPAddress)]
    return (*found.get_values_for_type(x509.DNSName), *addresses)


def matches(certificate: x509.Certificate, name: str) -> bool:
    """`name`: a DNS name as it goes into SNI (A-labels), or an IP address."""
    found = _alternatives(certificate)
    if found is None:
        return False
    address = _address(name)
    if address is not None:
        return address in found.get_values_for_type(x509.IPAddress)
    return any(dns_matches(pattern, name) for pattern in found.get_values_for_type(x509.DNSName))


def dns_matches(pattern: str, name: str) -> bool:
    """RFC 9525 section 6.3: `*` is only the whole first label, and stands for exactly one label."""
    wanted, offered = _labels(name), _labels(pattern)
    if len(wanted) != len(offered) or not all(wanted) or not all(offered):
        return False
    if offered[0] == "*":
        # `*.com` is no name that a certification authority may give (CA/Browser Forum BR 3.2.2.6).
        return len(offered) > 2 and "*" not in "".join(offered[1:]) and wanted[1:] == offered[1:]
    return "*" not in pattern and wanted == offered


def _labels(name: str) -> list[str]:
    return name.lower().removesuffix(".").split(".")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
