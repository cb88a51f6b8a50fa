from molrecon.pipeline import free_memory


def test_available_memory_is_what_is_left_of_the_limit(monkeypatch, tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    monkeypatch.setattr(free_memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(free_memory, "_CGROUP", tmp_path)
    assert free_memory.available_memory("cpu") == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_memory.available_memory("cpu") == 5000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    assert free_memory.available_memory("cpu") == 2999000
    meminfo.unlink()
    (tmp_path / "memory.max").unlink()
    assert free_memory.available_memory("cpu") is None
