"""Python on both sides: planets by the laws of gravity, and JSON there and back."""

import json
import time

BODIES = [
    # position, velocity, mass: the sun and four planets, in astronomical units, days and solar masses times 4 pi^2
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 39.47841760435743),
    ([4.84143144246472082945, -1.16032004402742839362, -0.103622044471123109494],
     [0.606326392995832, 2.81198684491626, -0.02521836165988763], 0.03769367487038949),
    ([8.34336671824457987790, 4.12479856412430479268, -0.403523417114321381293],
     [-1.01077434617879, 1.82566237123041, 0.00841576137658415], 0.011286326131968767),
    ([12.8943695621391310, -15.1111514016986312, -0.223307578892655734398],
     [1.08279100644154, 0.868713018169608, -0.0108326374013636], 0.0017237240570597112),
    ([15.3796971148509165, -25.9193146099879641, 0.179258772950371181757],
     [0.979090732243898, 0.594698998647676, -0.0347559555504078], 0.0020336868699246304),
]


def advance(bodies, step, count):
    pairs = [(a, b) for i, a in enumerate(bodies) for b in bodies[i + 1:]]
    for _ in range(count):
        for ((x1, y1, z1), v1, m1), ((x2, y2, z2), v2, m2) in pairs:
            dx, dy, dz = x1 - x2, y1 - y2, z1 - z2
            force = step * (dx * dx + dy * dy + dz * dz) ** -1.5
            m1, m2 = m1 * force, m2 * force
            v1[0] -= dx * m2
            v1[1] -= dy * m2
            v1[2] -= dz * m2
            v2[0] += dx * m1
            v2[1] += dy * m1
            v2[2] += dz * m1
        for position, velocity, _ in bodies:
            for axis in range(3):
                position[axis] += step * velocity[axis]


def measure(name, work):
    best = None
    for _ in range(3):
        start = time.perf_counter_ns()
        work()
        elapsed = time.perf_counter_ns() - start
        best = elapsed if best is None else min(best, elapsed)
    print(name, best, flush=True)


def main():
    document = {str(i): {"numbers": list(range(20)), "text": "text" * 10, "float": i / 7} for i in range(300)}
    measure("nbody", lambda: advance(BODIES, 0.01, 1000))
    measure("json", lambda: json.loads(json.dumps(document)))


main()
