version: str
version_info: tuple[int, int, int]
