"""A SQLAlchemy model whose primary keys are UUIDs of version 7.

    python recipes/sqlalchemy_default.py

This makes a table in memory, and adds three rows and then a thousand in bulk.
"""

import sys
import uuid

from sqlalchemy import Uuid, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import fork_safe_uuid


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    # The function, not a call of it, so that each row gets another UUID.
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=fork_safe_uuid.uuid7)


def main() -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        made = []
        for _ in range(3):
            order = Order()
            session.add(order)
            session.flush()
            made.append(order.id)
        rows = fork_safe_uuid.bulk(1000, version=7)
        session.execute(insert(Order), [{"id": row} for row in rows])
        session.commit()
        stored = list(session.scalars(select(Order.id).order_by(Order.id)))
    print("rows are in the order of creation:", stored == made + rows)
    if stored != made + rows:
        sys.exit(1)


if __name__ == "__main__":
    main()
